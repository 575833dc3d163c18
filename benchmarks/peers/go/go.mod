module tokensvc-bench

go 1.19
