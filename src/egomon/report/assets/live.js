function startLive() {}
function verdictButtons() { return null; }
