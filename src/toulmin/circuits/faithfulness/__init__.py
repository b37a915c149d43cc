"""Faithfulness: how much of the model's behaviour a circuit keeps, under every ablation methodology, and hypothesis
tests."""
