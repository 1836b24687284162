"""One run of questions for one name: attempts, outcomes, and what a failure keeps."""
