"""The app: a trained model in the browser, on images and generated scenes."""
