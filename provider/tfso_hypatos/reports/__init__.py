"""What a reconciliation finds, and how it is shown to people."""
