# sMLPNet's code tests an exponential moving average of the weights.
_base_ = 'classify.py'

custom_hooks = [dict(type='EMAHook', momentum=4e-5, priority='ABOVE_NORMAL')]
