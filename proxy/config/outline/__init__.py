"""What a configuration says, line by line: kept, read again, compared, shown without secrets."""
