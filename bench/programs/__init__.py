"""Loops as people write them, each a loss of one example.

`make(scale)` of each file returns a dict: the loss, its parameters, a batch of 32 examples as its arguments and, where
it is natural, the same loss of the whole batch in PyTorch. At scale 8 they take 17,000 to two million operations.

mlp_by_append.py                  a multilayer perceptron: index loops that append
convolution.py                    five nested loops, a maximum over each square of four, a classifier
table_of_parameters.py            neighbours in a table, by two indices
recurrent_network.py              a plain recurrent network over time
lstm.py                           the gates of an LSTM, and a loss at each step
gru_by_index.py                   a GRU whose lists are filled item by item
transformer_in_c.py               a transformer as in C: nested loops, accumulators, while
transformer_by_comprehensions.py  a transformer of whole matrices
transformer_by_generators.py      a transformer that yields, with caches that grow
euler.py                          three numbers, and thousands of steps of time
neural_ode.py                     a network as a vector field, steps by Runge and Kutta
kalman_filter.py                  a position and a velocity in tuples
hidden_markov.py                  the forward algorithm, in logarithms
state_space.py                    a scan of states that decay, changed in place
soft_dtw.py                       a table of which each entry needs three others
gaussian_process.py               Cholesky's factors, and a triangular system
sinkhorn.py                       rows and columns that are scaled in turn
"""
