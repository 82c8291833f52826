"""From a trained model to one that is served: inference form, export, runtimes."""
