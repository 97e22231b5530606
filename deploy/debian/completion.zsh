#compdef trackgate
# Asks the program itself, so that what is offered is what it knows. Loaded when somebody completes `trackgate` first; what it
# prints takes this function's place.
. <(trackgate completions zsh)
_trackgate "$@"
