"""What operators are told of names: accounts, reasons, warnings."""
