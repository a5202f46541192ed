"""The networks' slow parts written for CPUs."""
