"""Audio signals: Opus, PCM, voice activity. No I/O, no asyncio."""
