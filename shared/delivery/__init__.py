"""From encoded records to Azure Monitor, the spool or the dead letters; knows no vendor."""
