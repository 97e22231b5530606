# Asks the program itself, so that what is offered is what it knows. Loaded when somebody completes `trackgate` first.
command -q trackgate; and trackgate completions fish | source
