"""The devices the gateway knows."""
