from fishbone.cli import main

main()
