"""The steps that must happen exactly once, written once, without I/O."""
