"""Ways to reach an Android device: through a running adb server, or directly."""
