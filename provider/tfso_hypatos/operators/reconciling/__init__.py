"""How a reconciliation is run: arguments, a store on disk, readings, repairs and files."""
