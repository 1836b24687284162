"""Rules of sections: what their conditions and targets name, when all sections are known."""
