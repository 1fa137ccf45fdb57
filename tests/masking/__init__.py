"""Texts with and without telephone numbers, cards, accounts and addresses, and how well `mask` tells them apart."""
