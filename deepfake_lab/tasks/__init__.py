"""Lightning tasks: one class for each training step that differs."""
