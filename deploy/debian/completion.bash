# Asks the program itself, so that what is offered is what it knows. Loaded when somebody completes `trackgate` first.
if command -v trackgate >/dev/null; then
	. <(trackgate completions bash)
fi
