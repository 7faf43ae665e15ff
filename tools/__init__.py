"""Package; see ARCHITECTURE.md."""
