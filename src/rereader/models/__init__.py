"""Language models, embedders and the catalogue. Works without LangGraph and without the root folders."""
