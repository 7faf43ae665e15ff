"""Care of a workspace: what is in it checked to the byte, mended, tidied, saved to a file and brought back."""
