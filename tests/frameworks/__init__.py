"""Other people's login pages before a real Cerrojo, as the documents say; `make integrations`."""
