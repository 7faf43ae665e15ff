"""Training of the small parts that read or let in memories, from data whose answers are marked."""
