"""The words of frontend, backend, listen and defaults sections."""
