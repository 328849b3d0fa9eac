module peercam.example/bench/pion

go 1.19
