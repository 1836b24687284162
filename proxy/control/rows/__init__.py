"""What is shown, as numbers: rows of frontends, backends and servers."""
