"""Folders in buckets: S3, Google Cloud Storage, Azure Blob Storage."""
