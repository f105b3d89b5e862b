"""The shell around the pure core: it gathers, asks the judge and the machine, persists, and only then acts."""
