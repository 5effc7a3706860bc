"""The app's identity in Entra, and its storage account."""
