"""Pure array functions that run on the device."""
