"""Measures how well `mask` distinguishes telephone numbers, cards, IBANs and addresses from other text."""
