"""What the device hears and plays: microphone, wake word, speech, Opus and loudspeaker."""
