# What the classifier and the segmentor of digits share.

# Val's photographs differ from train's, and a digit is brighter or darker than what it covers: all
# pictures get the same brightness and contrast.
grey = [
    dict(
        type='RandomGrayscale', prob=1.0, keep_channels=True, channel_weights=(0.114, 0.587, 0.299)
    ),
    dict(type='mmpretrain.Equalize', prob=1.0),
]
# From random weights AdamW left the segmentor at background and was no better for the classifier.
sgd = dict(type='SGD', momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
