"""The app's identity and its storage account."""
