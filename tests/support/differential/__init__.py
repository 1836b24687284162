"""The same file and the same nameserver for HAProxy and for Millrace."""
