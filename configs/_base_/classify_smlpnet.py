# sMLPNet's code averages the weights over the steps, and tests the average.
_base_ = 'classify.py'

custom_hooks = [dict(type='EMAHook', momentum=4e-5, priority='ABOVE_NORMAL')]
