"""Finite groups as data whose structure is known: multiplication tables, irreducible representations, networks that
learn to multiply. Modular addition is the cyclic group; its irreducible representations are the Fourier frequencies."""
