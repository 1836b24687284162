"""Generated replies to health checks: given to HAProxy and to Millrace, and what each says."""
