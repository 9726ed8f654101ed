"""What stands around a run: the checkpoint from which it goes on, the devices and processes that share it."""
