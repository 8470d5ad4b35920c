"""What a person hears or reads of alerts: speech, tones, push messages."""
