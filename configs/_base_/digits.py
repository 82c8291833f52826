# Settings shared by the classifier and the segmentor of digits.

# Photographs differ between train and val, and digits may be brighter or darker than their
# background, so brightness and contrast are normalised.
grey = [
    dict(
        type='RandomGrayscale', prob=1.0, keep_channels=True, channel_weights=(0.114, 0.587, 0.299)
    ),
    dict(type='mmpretrain.Equalize', prob=1.0),
]
# From random weights, the segmentor predicted only background with AdamW; for the classifier, AdamW
# was no better.
sgd = dict(type='SGD', momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
