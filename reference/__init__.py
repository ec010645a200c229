"""The pages of `docs/reference` that are made from the code, and the list of pages for models.

A module for each page; `make reference` writes them. Words stand where the thing is defined, or in
the module of its page; none may be missing (`enrichment_pipeline_tests/docs`).
"""
