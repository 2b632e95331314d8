"""Tables and pages of the ledger."""
