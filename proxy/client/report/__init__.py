"""`millrace report`: one archive with what a ticket needs, of a program that may be half dead."""
