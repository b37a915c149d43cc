"""Degeneracy: directions in which parameters can move without a change of what the network computes.

``spectra``: ranks with the gap they are read from; ``effective``: the number of effective parameters of one hidden ReLU
layer, exactly; ``parameters``: the rank of the parameter Jacobian of any network; ``audit``: all of it as one report;
``learning_coefficient``: the local learning coefficient by sampling. (Bushnaq et al. 2024, "Using Degeneracy in the
Loss Landscape for Mechanistic Interpretability", sections 2 and 3.)
"""
