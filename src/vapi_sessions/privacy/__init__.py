"""What may be stored: secrets are redacted, personal data is kept, masked or dropped. Pure."""
