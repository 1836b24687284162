"""Reports on names for operators: accounts, reasons, warnings."""
