"""The server: prediction workers, the control plane, and the supervisor over both."""
